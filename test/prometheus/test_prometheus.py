# SPDX-License-Identifier: BSD-2-Clause
"""What is shipped for Prometheus and Grafana: valid, tested, and of metrics that there are.

docs/metrics.md lists the families of the code, no more and no less; the lab compares them with those
of a real run.
"""

import json
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "conf/prometheus"
RULES = (SHIPPED / "fluxpin.rules.yml").read_text()
ALERTS = (SHIPPED / "fluxpin.alerts.yml").read_text()
DASHBOARD = json.loads((SHIPPED / "dashboard.json").read_text())
TESTS = (ROOT / "test/prometheus/alerts.yml").read_text()
RECORDED = re.findall(r"^      - record: (\S+)$", RULES, re.M)
ALERT_NAMES = re.findall(r"^      - alert: (\w+)$", ALERTS, re.M)
# Of other programs: the node exporter's, about our textfile.
FOREIGN = {"node_textfile_mtime_seconds"}
# What stands in PromQL beside metrics and labels.
VARIABLES = {"$instance": ".*", "$__rate_interval": "5m"}


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True,
                          timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def documented():
    """{family: (type, labels)} of docs/metrics.md; every name stands there in a row of its own."""
    rows = re.findall(r"^\| `(fluxpin_\w+)(?:\{([\w,]*)\})?` \| (\w+) \|",
                      (ROOT / "docs/metrics.md").read_text(), re.M)
    names = [name for name, _, _ in rows]
    assert len(names) == len(set(names)) > 40
    return {name: (kind, set(labels.split(",")) - {""}) for name, labels, kind in rows}


def written():
    """{family: type} of the tables and calls in the code."""
    code = "".join(path.read_text() for path in (ROOT / "src/control").glob("metrics*.c"))
    found = re.findall(r'"(\w+)",\s*"(counter|gauge)"', code)
    return {f"fluxpin_{name}": kind for name, kind in found}


def metrics_of(expression):
    """The metrics in PromQL: words that no bracket makes functions or labels, of our own or not."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return set(re.findall(r"\b(?:\w+:)*(?:fluxpin|node|up)_\w+(?::\w+)*\b", bare))


def expressions():
    """[(place, expression)] of the dashboard."""
    found = []
    for panel in DASHBOARD["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    found += [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]
    found += [(each["name"], each["definition"]) for each in DASHBOARD["templating"]["list"]
              if "definition" in each]
    return found


def test_documentation_lists_what_is_written():
    assert {name: kind for name, (kind, _) in documented().items()} == written()


@pytest.mark.parametrize("name", ["fluxpin.rules.yml", "fluxpin.alerts.yml"])
def test_rules_are_valid(name):
    status, output = promtool("check", "rules", SHIPPED / name)
    assert status == 0 and "SUCCESS" in output and "duplicate" not in output, output


@pytest.mark.parametrize("name", ["rules.yml", "alerts.yml"])
def test_rules_do_what_they_say(name):
    status, output = promtool("test", "rules", ROOT / "test/prometheus" / name)
    assert status == 0 and "SUCCESS" in output, output


def test_every_recording_rule_is_tested():
    tested = re.findall(r"^      - expr: ([\w:]+)", (ROOT / "test/prometheus/rules.yml").read_text(), re.M)
    assert len(RECORDED) > 15
    assert sorted(tested) == sorted(RECORDED)


@pytest.mark.parametrize("alert", ALERT_NAMES)
def test_every_alert_is_tested_both_ways(alert):
    checks = re.findall(rf"alertname: {alert}\n\s+exp_alerts:( \[\])?\n", TESTS)
    assert "" in checks, "never firing"
    assert checks[0] and checks[-1], "not silent before and after"


@pytest.mark.parametrize("alert", ALERT_NAMES)
def test_every_alert_says_what_to_do(alert):
    part = ALERTS[ALERTS.index(f"alert: {alert}\n") :].split("- alert:")[0]
    assert re.search(r"severity: (critical|warning)\n", part)
    assert re.search(r'summary: ".{20,}"\n', part) and re.search(r'description: ".{60,}"\n', part)


def test_documentation_lists_the_alerts():
    rows = re.findall(r"^\| (`Fluxpin.*?) \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    said = {alert: severity for names, severity in rows for alert in re.findall(r"`(\w+)`", names)}
    assert said == dict(re.findall(r"- alert: (\w+)\n.*?severity: (\w+)\n", ALERTS, re.S))


@pytest.mark.parametrize("text", [RULES, ALERTS], ids=["rules", "alerts"])
def test_rules_use_metrics_that_there_are(text):
    # Of each rule the expression alone: from "expr:" to the next key of the rule.
    found = re.findall(r"^        expr: (.*?)(?=^        \w+:|^      - |^  - |\Z)", text, re.M | re.S)
    assert len(found) == len(re.findall(r"^      - (?:record|alert):", text, re.M))
    for expression in found:
        expression = re.sub(r"^\s*#.*$", "", expression, flags=re.M)
        names = metrics_of(expression)
        assert names, expression
        assert names - set(documented()) - set(RECORDED) - FOREIGN == set(), expression


def test_dashboard_uses_metrics_that_there_are():
    places = expressions()
    assert len(places) > 30
    for place, expression in places:
        names = metrics_of(expression)
        assert names, (place, expression)
        assert names - set(documented()) - set(RECORDED) == set(), place


def test_dashboard_uses_labels_that_there_are():
    for place, expression in expressions():
        labels = {"instance"}.union(*(documented()[name][1] for name in metrics_of(expression)
                                      if name in documented()))
        worker = r"fluxpin_(worker|connection|fragment|xsk)|interface_queue:"
        if re.search(worker, expression):
            labels |= {"interface", "queue"}
        for recorded in metrics_of(expression) & set(RECORDED):
            labels |= set(recorded.split(":")[0].split("_"))
        used = set(re.findall(r"[{,]\s*(\w+)(?:=~?|!=)", expression))
        for group in re.findall(r"\bby \(([^)]*)\)", expression):
            used |= set(re.split(r",\s*", group))
        assert used - labels == set(), (place, expression)


def test_dashboard_is_valid_promql(tmp_path):
    rules = []
    for place, expression in expressions():
        if expression.startswith("label_values("):
            continue
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression, place
        rules.append({"record": f"panel:{len(rules)}", "expr": expression})
    path = tmp_path / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    status, output = promtool("check", "rules", path)
    assert status == 0, output


def test_dashboard_is_laid_out():
    """Numbers are unique, panels lie in the grid, beside and not on one another, none without a title."""
    taken, numbers = {}, set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert panel["title"] and panel["id"] not in numbers
        numbers.add(panel["id"])
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
