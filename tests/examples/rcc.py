"""Makes Qt binary resource files for tests, well-formed or hostile."""

import struct
import zlib

Tree = dict[str, "Tree | bytes"]


def resource(tree: Tree, version: int = 3, packed: bool = True, flags: int = 0) -> bytes:
    """Return a resource file that holds `tree`; `flags` are set on every file besides its own."""
    nodes: list[tuple[str, Tree | bytes, int, int]] = [("", tree, 0, 0)]  # name, content, children, first child
    at = 0
    while at < len(nodes):
        name, content, _, _ = nodes[at]
        if isinstance(content, dict):
            nodes[at] = (name, content, len(content), len(nodes))
            nodes += [(child, inner, 0, 0) for child, inner in content.items()]
        at += 1
    entries, data, names = b"", b"", b""
    for name, content, count, first in nodes:
        if isinstance(content, dict):
            entries += struct.pack(">IHII", len(names), 2, count, first)
        else:
            body = struct.pack(">I", len(content)) + zlib.compress(content) if packed else content
            entries += struct.pack(">IHII", len(names), (1 if packed else 0) | flags, 0, len(data))
            data += struct.pack(">I", len(body)) + body
        entries += bytes(8) if version > 1 else b""
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    header = 24 if version > 2 else 20
    start = b"qres" + struct.pack(">IIII", version, header, header + len(entries), header + len(entries) + len(data))
    return start + bytes(header - 20) + entries + data + names


def nested(path: str, content: "Tree | bytes") -> Tree:
    """Return the tree that holds `content` at `path`."""
    for part in reversed(path.split("/")):
        content = {part: content}
    assert isinstance(content, dict)
    return content
