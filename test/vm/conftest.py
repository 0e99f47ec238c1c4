# SPDX-License-Identifier: BSD-2-Clause
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

from lab import fluxpin_path
from vm_lab import DRIVERS, VmLab


# Left out of a quick run: of these one driver or one combination is enough, as the code is the same.
EXHAUSTIVE = (
    "test_http[igb-gre-ipv6]", "test_http[igb-ipip-ipv4]", "test_http[igb-ipip-ipv6]",
    "test_http[igb-gue-ipv4]", "test_mode[igb-skb-copy (generic XDP)]",
    "test_ring_sizes[virtio_net]", "test_channels_in_use[virtio_net]", "test_mtu[igb]",
    "test_ipvs[virtio_net-ipip]", "test_ipvs[virtio_net-gre]", "test_huge_pages[igb]",
    "test_reset_by_the_driver[virtio_net]", "test_memory_is_near_its_worker[virtio_net]",
    "test_doctor_names_cpus_that_are_far[igb]", "test_interrupts_of_the_queues[igb]",
    "test_interrupts_stay_away[igb]",
    "test_idle_workers[igb]", "test_ipvs[igb-gre]", "test_mode[igb-copy-copy (native XDP)]",
    "test_backend_on_a_vlan_device[virtio_net]",
    "test_best_mode_also_after_a_kill[igb]", "test_driver_removed_and_added[virtio_net]",
    "test_link_flaps[igb]", "test_stripping_is_reported_with_the_command[virtio_net]",
    "test_flows_spread_over_all_workers_and_each_stays_on_one[igb-ipv6]",
    "test_flows_spread_over_all_workers_and_each_stays_on_one[virtio_net-ipv6]",
    "test_icmp_errors_go_to_the_backend_of_their_flow[igb-ipv6]",
    "test_icmp_errors_go_to_the_backend_of_their_flow[virtio_net-ipv6]",
    # Of test/lab/test_vlan.py.
    "test_outer_families[QinQ-ipv4]",
    "test_tags_of_the_packet_do_not_count[802.1Q-copy]",
    "test_slow_path_under_tags[802.1Q]", "test_slow_path_under_tags[802.1ad]",
    "test_http_over_vlan_devices[802.1Q twice-l2]", "test_http_over_vlan_devices[802.1ad-ipip]",
    "test_tags_of_the_packet_do_not_count[802.1Q-skb]",
    "test_tags_of_the_packet_do_not_count[QinQ-skb]", "test_slow_path_under_tags[802.1Q twice]",
    # Nothing in a quick run stands for these: they take too long for it.
    "test_fluxpin[igb]", "test_fluxpin[virtio_net]", "test_three_levels",
    "test_a_card_that_starts_anew[igb]", "test_a_card_that_starts_anew[virtio_net]",
    "test_endpoint_under_a_vlan_device[igb]", "test_endpoint_under_a_vlan_device[virtio_net]",
    "test_fifty_link_flaps[igb]", "test_fifty_link_flaps[virtio_net]",
    "test_more_channels[igb]", "test_more_channels[virtio_net]",
    "test_more_channels_are_refused[igb]", "test_more_channels_are_refused[virtio_net]",
    "test_card_taken_away_and_put_back[igb]", "test_card_taken_away_and_put_back[virtio_net]",
    "test_new_channels[igb]", "test_new_channels[virtio_net]",
    "test_killed[igb]", "test_killed[virtio_net]",
)
# Of backends, whose NICs are veth with either driver.
NOT_OF_THE_CARD = ("test_the_kernels_devices[virtio_net", "test_what_is_broken_of_them[virtio_net")


def pytest_collection_modifyitems(config, items):
    # A name that fits nothing would leave out nothing, unnoticed; it is known of whole files.
    functions, names = {item.originalname for item in items}, {item.name for item in items}
    stale = [each for each in EXHAUSTIVE
             if each.partition("[")[0] in functions and each not in names]
    is_part = config.getoption("lf", False) or any("::" in each for each in config.args)
    if stale and not is_part:
        raise pytest.UsageError(f"test/vm/conftest.py names no test: {', '.join(stale)}")
    for item in items:
        if item.name in EXHAUSTIVE or item.name.startswith(NOT_OF_THE_CARD):
            item.add_marker(pytest.mark.exhaustive)
    if not os.environ.get("FLUXPIN_VM"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="runs in a virtual machine: test/vm/run"))


@pytest.fixture(scope="session", autouse=True)
def fluxpin_is_built():
    assert fluxpin_path().exists(), f"{fluxpin_path()} is not built; FLUXPIN names another one"


@pytest.fixture(scope="session", params=DRIVERS)
def lab(request):
    """A lab with a network card of each driver, shared by all tests."""
    with VmLab(request.param, backends=2) as built:
        yield built
