"""Answers as a cluster would that keeps network policies: may this pod open a connection to that one?"""

import ipaddress
from dataclasses import dataclass, field

from tests.helm.chart import Doc


@dataclass(frozen=True)
class Place:
    """A pod with its labels in a namespace, or an address outside."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "ml"
    address: str = ""


def reaches(policies: list[Doc], source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
    """Tell whether policies of the namespace `ml` let a connection out of its source and into its target."""
    return _passes(policies, source, target, "Egress", port, protocol) and _passes(
        policies, target, source, "Ingress", port, protocol
    )


def isolated(policies: list[Doc], place: Place) -> set[str]:
    """Return the directions in which a pod is closed but for what policies open."""
    return {kind for policy in policies if _selects(policy, place) for kind in policy["spec"]["policyTypes"]}


def _passes(policies: list[Doc], own: Place, other: Place, kind: str, port: int, protocol: str) -> bool:
    if kind not in isolated(policies, own):
        return True
    ways = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}
    rules, side = ways[kind]
    for policy in policies:
        if _selects(policy, own) and kind in policy["spec"]["policyTypes"]:
            for rule in policy["spec"].get(rules) or []:
                peers = rule.get(side)
                if (not peers or any(_is(peer, other) for peer in peers)) and _open(rule.get("ports"), port, protocol):
                    return True
    return False


def _selects(policy: Doc, place: Place) -> bool:
    inside = not place.address and place.namespace == policy["metadata"].get("namespace", "ml")
    return inside and _matches(policy["spec"]["podSelector"], place.labels)


def _is(peer: Doc, place: Place) -> bool:
    if "ipBlock" in peer:
        return bool(place.address) and ipaddress.ip_address(place.address) in ipaddress.ip_network(peer["ipBlock"]["cidr"])
    if place.address:
        return False
    named = {"kubernetes.io/metadata.name": place.namespace}
    here = _matches(peer["namespaceSelector"], named) if "namespaceSelector" in peer else place.namespace == "ml"
    return here and _matches(peer.get("podSelector", {}), place.labels)


def _matches(selector: Doc, labels: dict[str, str]) -> bool:
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for wanted in selector.get("matchExpressions") or []:
        assert wanted["operator"] == "In"
        if labels.get(wanted["key"]) not in wanted["values"]:
            return False
    return True


def _open(ports: list[Doc] | None, port: int, protocol: str) -> bool:
    return not ports or any(one["port"] == port and one["protocol"] == protocol for one in ports)
