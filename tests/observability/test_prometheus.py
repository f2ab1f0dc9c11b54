"""Prometheus' own tool checks the rules and the metrics."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import Service, read_settings, running, without

pytestmark = pytest.mark.slow

RULES = Path(__file__).parents[2] / "deploy" / "alerts" / "doorward.yml"

# A service that is well, and one that has everything against it, in samples of a minute.
SICK = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'doorward_workers', values: '2x30'}}
      - {{series: 'doorward_http_requests_total{{status="200"}}', values: '0+600x30'}}
      - {{series: 'doorward_refusals_total{{code="internal_error"}}', values: '0x30'}}
      - {{series: 'doorward_log_lines_lost_total', values: '0x30'}}
    alert_rule_test:
      - {{eval_time: 20m, alertname: DoorwardIsAway, exp_alerts: []}}
      - {{eval_time: 20m, alertname: DoorwardFails, exp_alerts: []}}
      - {{eval_time: 20m, alertname: DoorwardHasFaults, exp_alerts: []}}
      - {{eval_time: 20m, alertname: DoorwardLosesLogLines, exp_alerts: []}}
  - interval: 1m
    input_series:
      - {{series: 'doorward_http_requests_total{{status="500"}}', values: '0+600x30'}}
      - {{series: 'doorward_refusals_total{{code="store_unavailable"}}', values: '0+600x30'}}
      - {{series: 'doorward_log_lines_lost_total', values: '0+5x30'}}
    alert_rule_test:
      - eval_time: 20m
        alertname: DoorwardIsAway
        exp_alerts: [{{exp_labels: {{severity: critical}}, exp_annotations: {{summary: "{away}"}}}}]
      - eval_time: 20m
        alertname: DoorwardFails
        exp_alerts: [{{exp_labels: {{severity: critical}}, exp_annotations: {{summary: "{fails}"}}}}]
      - eval_time: 20m
        alertname: DoorwardLosesLogLines
        exp_alerts: [{{exp_labels: {{severity: warning}}, exp_annotations: {{summary: "{loses}"}}}}]
  - interval: 1m
    input_series:
      - {{series: 'doorward_http_requests_total{{status="503"}}', values: '0+6000x30'}}
      - {{series: 'doorward_refusals_total{{code="too_many_connections"}}', values: '0+3000x30'}}
      - {{series: 'doorward_refusals_total{{code="overloaded"}}', values: '0+1500x30'}}
      - {{series: 'doorward_refusals_total{{code="too_many_large_bodies"}}', values: '0+60x30'}}
      - {{series: 'doorward_connections_closed_total{{reason="address"}}', values: '0+3000x30'}}
      - {{series: 'doorward_connections_closed_total{{reason="evicted"}}', values: '0+60x30'}}
    alert_rule_test:
      - {{eval_time: 20m, alertname: DoorwardFails, exp_alerts: []}}
      - eval_time: 20m
        alertname: DoorwardRefusesByLimits
        exp_alerts: [{{exp_labels: {{severity: warning, code: too_many_connections}}, exp_annotations: {{summary: "{refuses}"}}}}]
      - eval_time: 20m
        alertname: DoorwardClosesConnections
        exp_alerts: [{{exp_labels: {{severity: warning, reason: address}}, exp_annotations: {{summary: "{closes}"}}}}]
"""
AWAY = "No worker of Doorward responds."
FAILS = "More than one response in a hundred is an error of the service."
REFUSES = "Limits reject more than ten requests a second (too_many_connections). See Floods and abuse in operating.md."
CLOSES = "Limits close more than ten connections a second (address). See Floods and abuse in operating.md."
LOSES = "Log lines are lost, because standard error is not read fast enough."


def promtool(*words: str, typed: str = "") -> str:
    """Run the tool, which has to find nothing wrong; return what it said."""
    found = shutil.which("promtool", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        without("This test asks promtool: install the package prometheus (apt-get install prometheus).")
    done = subprocess.run([found, *words], input=typed, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


def test_alerts_are_raised_when_something_is_wrong_and_only_then(tmp_path: Path) -> None:
    file = tmp_path / "tests.yml"
    file.write_text(SICK.format(rules=RULES, away=AWAY, fails=FAILS, loses=LOSES, refuses=REFUSES, closes=CLOSES))
    assert "SUCCESS" in promtool("test", "rules", str(file))


def test_prometheus_takes_the_metrics_and_has_nothing_to_say_of_their_names(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {"METRICS_WHITE_LIST": "127.0.0.1"})) as service:
        said = metrics(service)
    assert promtool("check", "metrics", typed=said) == ""
    assert "doorward_logins_total" in said


def metrics(service: Service) -> str:
    """What a service that was used gives to who asks for its metrics."""
    tenant = service.tenant()
    tenant.create()
    tenant.verify(tenant.session())
    tenant.login(password="wrong")
    answer = service.client().get("/metrics")
    assert answer.status_code == 200
    return answer.text
