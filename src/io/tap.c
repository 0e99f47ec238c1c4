/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/tap.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fluxpin/log.h>

/*
 * What the kernel itself may send to the TAP is never read. Its queue fills up to this and the
 * rest is dropped there, so a few frames are all the memory that it can hold.
 */
#define QUEUE_LENGTH 8

/* MAX_TAP_QUEUES of the kernel's drivers/net/tun.c. */
#define QUEUE_LIMIT 256

struct tap {
	char name[IF_NAMESIZE];
	int index;
	uint32_t mtu;
	uint8_t mac[6];
	uint32_t descriptor_count;
	int descriptors[]; /* one per queue of the device */
};

static int report(const struct tap *tap, int error, const char *what)
{
	if (error != 0)
		log_error("TAP %s: cannot %s: %s", tap->name, what, strerror(-error));
	return error;
}

/* Opens one queue; the first one creates the device, and fails when there is one of that name. */
static int open_queue(const char *name, bool is_first)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE };
	int descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (descriptor < 0)
		return -errno;
	if (is_first)
		request.ifr_flags = (short)(request.ifr_flags | IFF_TUN_EXCL);
	memcpy(request.ifr_name, name, sizeof(request.ifr_name));
	if (ioctl(descriptor, TUNSETIFF, &request) < 0) {
		int error = -errno;

		close(descriptor);
		return error;
	}
	return descriptor;
}

static int open_queues(struct tap *tap, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int descriptor = open_queue(tap->name, i == 0);

		if (descriptor == -EBUSY && i == 0)
			log_error("TAP %s: a device of that name exists: another fluxpin serves "
				  "this interface",
				  tap->name);
		else if (descriptor == -ENOENT || descriptor == -ENXIO || descriptor == -ENODEV)
			log_error(
				"TAP %s: no /dev/net/tun: the kernel lacks TUN/TAP (modprobe tun)",
				tap->name);
		else if (descriptor < 0)
			report(tap, descriptor, "open a queue");
		if (descriptor < 0)
			return descriptor;
		tap->descriptors[i] = descriptor;
		tap->descriptor_count = i + 1;
	}
	return 0;
}

/* Beside "no addresses" this turns off what IPv6 sends without one (MLD, router solicitations). */
static void write_disable_ipv6(const struct tap *tap)
{
	char path[80];
	int descriptor;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", tap->name);
	descriptor = open(path, O_WRONLY | O_CLOEXEC);
	if (descriptor < 0 && errno == ENOENT)
		return;
	if (descriptor < 0 || write(descriptor, "1", 1) != 1)
		log_debug("TAP %s: cannot write %s: %s", tap->name, path, strerror(errno));
	if (descriptor >= 0)
		close(descriptor);
}

/* Everything is in place before the device goes up, so that no frame takes another way. */
static int configure(struct tap *tap, const struct interface *nic)
{
	char alias[IF_NAMESIZE + 32];
	int error;

	snprintf(alias, sizeof(alias), "fluxpin slow path of %s", nic->name);
	error = report(tap, interface_set_alias(tap->index, alias), "set the alias");
	if (error == 0)
		error = report(tap, interface_disable_ipv6(tap->index), "turn IPv6 off");
	if (error != 0)
		return error;
	write_disable_ipv6(tap);
	error = report(tap, interface_set_arp(tap->index, false), "turn ARP off");
	if (error == 0)
		error = report(tap, interface_set_queue_length(tap->index, QUEUE_LENGTH),
			       "set the queue length");
	if (error == 0)
		error = tap_follow(tap, nic);
	if (error == 0)
		error = report(tap, interface_redirect_ingress(tap->index, nic->index),
			       "redirect its frames to the interface");
	if (error == -ENOENT)
		log_error("TAP %s: the kernel needs sch_ingress, cls_u32 and act_mirred",
			  tap->name);
	if (error == 0)
		error = report(tap, interface_set_up(tap->index, true), "set the device up");
	return error;
}

int tap_open(const struct interface *nic, uint32_t queue_count, struct tap **tap)
{
	uint32_t count = queue_count < QUEUE_LIMIT ? queue_count : QUEUE_LIMIT;
	struct interface device;
	struct tap *result;
	int error;

	if (count == 0)
		return -EINVAL;
	result = calloc(1, sizeof(*result) + count * sizeof(result->descriptors[0]));
	if (result == NULL)
		return -ENOMEM;
	snprintf(result->name, sizeof(result->name), "fluxpin-%d", nic->index);
	error = open_queues(result, count);
	if (error != 0)
		goto close_tap;
	error = report(result, interface_query(result->name, &device), "query the device");
	if (error != 0)
		goto close_tap;
	result->index = device.index;
	result->mtu = device.mtu;
	memcpy(result->mac, device.mac, sizeof(result->mac));
	error = configure(result, nic);
	if (error != 0)
		goto close_tap;
	*tap = result;
	return 0;

close_tap:
	tap_close(result);
	return error;
}

int tap_queue(const struct tap *tap, uint32_t queue)
{
	return tap->descriptors[queue % tap->descriptor_count];
}

const char *tap_name(const struct tap *tap)
{
	return tap->name;
}

int tap_index(const struct tap *tap)
{
	return tap->index;
}

int tap_follow(struct tap *tap, const struct interface *nic)
{
	int error;

	if (memcmp(tap->mac, nic->mac, sizeof(tap->mac)) != 0) {
		error = report(tap, interface_set_mac(tap->index, nic->mac),
			       "take the interface's MAC address");
		if (error != 0)
			return error;
		memcpy(tap->mac, nic->mac, sizeof(tap->mac));
	}
	if (tap->mtu != nic->mtu) {
		error = report(tap, interface_set_mtu(tap->index, nic->mtu),
			       "take the interface's MTU");
		if (error != 0)
			return error;
		tap->mtu = nic->mtu;
	}
	return 0;
}

bool tap_write(int queue, const uint8_t *frame, uint32_t length)
{
	return write(queue, frame, length) == (ssize_t)length;
}

void tap_close(struct tap *tap)
{
	if (tap == NULL)
		return;
	for (uint32_t i = 0; i < tap->descriptor_count; i++)
		close(tap->descriptors[i]);
	free(tap);
}
