"""Arrows as a graph: circles in it, and its parts put together."""

from collections import defaultdict


def together(arrows, part_of):
    """The same arrows between parts; what stays within one part is gone."""
    found = defaultdict(set)
    for user, used in arrows.items():
        for other in used:
            a, b = part_of(user), part_of(other)
            if a is not None and b is not None and a != b:
                found[a].add(b)
    return found


def circles(edges):
    """Groups of nodes that reach each other (Tarjan)."""
    index, low, stack, on, groups = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
                on.discard(group[-1])
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return groups
