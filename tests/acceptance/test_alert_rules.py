"""`deploy/alerts.yml`: Prometheus' own grammar reads every rule, and what the rules ask for is what a worker serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from tests.acceptance.pages import audit, pages_over
from tests.acceptance.stage import START, Stage

ROOT = Path(__file__).parents[2]
ADDED = {"instance"}
"""The label that Prometheus adds to whatever it reads."""


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    """Give the rules, each of which has its own keys and no other."""
    document = YAML(typ="safe").load((ROOT / "deploy" / "alerts.yml").read_text("utf-8"))
    (group,) = document["groups"]
    assert (document.keys(), group.keys()) == ({"groups"}, {"name", "rules"})
    found: list[dict[str, Any]] = group["rules"]
    return found


def selected(expression: str) -> list[Any]:
    """Return every selector of an expression. Raises ValueError where Prometheus would refuse it."""
    found: list[Any] = []

    def look(part: Any) -> bool:
        if isinstance(part, promql_parser.VectorSelector):
            found.append(part)
        if isinstance(part, promql_parser.MatrixSelector):
            found.append(part.vector_selector)
        return True

    promql_parser.walk(promql_parser.parse(expression), look)
    return found


def test_every_rule_is_one_that_prometheus_takes(rules: list[dict[str, Any]]) -> None:
    """An expression of its grammar, how long it has to hold, how grave it is, what it is about; no name twice."""
    alerts = [rule for rule in rules if "alert" in rule]
    recorded = [rule for rule in rules if "alert" not in rule]

    assert [rule.keys() - {"for"} for rule in alerts] == [{"alert", "expr", "labels", "annotations"}] * len(alerts)
    assert [rule.keys() for rule in recorded] == [{"record", "expr"}] * len(recorded)
    assert {rule["labels"]["severity"] for rule in alerts} == {"warning", "critical"}
    assert [rule["annotations"].keys() for rule in alerts] == [{"summary", "description"}] * len(alerts)
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    assert [promql_parser.parse_duration(rule["for"]) for rule in alerts if "for" in rule]
    assert all(selected(rule["expr"]) for rule in rules)


def test_a_rule_that_prometheus_would_refuse_is_refused_here() -> None:
    """The parser parses: so the rules that pass are right."""
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql_parser.parse("max by (connection (etl_lag_seconds) > 3")


def test_every_metric_and_label_of_a_rule_is_served(stage: Stage, rules: list[dict[str, Any]]) -> None:
    """By the names and labels that a worker serves once it has synced and audited."""
    stage.history.add("krosai", number=3, at=START)
    stage.sync("krosai")
    audit(stage, "krosai")
    with pages_over(stage.database, stage.configured(), clock=stage.clock) as pages:
        pages.site.meters.not_begun("telephony", "already_running")
        families = {
            family.name + ("_total" if family.type == "counter" else ""): {
                label for sample in family.samples for label in sample.labels
            }
            for family in text_string_to_metric_families(pages.get("/metrics").text)
        }
    served = families | {rule["record"]: {"connection"} for rule in rules if "record" in rule}
    used = [(one.name, {matcher.name for matcher in one.matchers.matchers}) for rule in rules for one in selected(rule["expr"])]

    assert {name for name, _ in used} - served.keys() == set()
    assert [(name, labels) for name, labels in used if labels - served[name] - ADDED] == []
