"""Writes networks.mmdb: what the demo and the tests know about networks that nobody owns. With the word
"plays" it writes plays.mmdb, for the plays that prove the alarm.

The file holds the documentation networks of RFC 5737 and RFC 3849, made-up systems of RFC 5398 and
the country code ZZ, which ISO 3166-1 leaves to users. Like some published files it has no description. Each record uses the names of another
publisher. Format: https://maxmind.github.io/MaxMind-DB/ (CC BY-SA 3.0).
"""

import ipaddress
import struct
import sys

GEOLITE = {"country": {"iso_code": "ZZ", "names": {"en": "Nowhere"}}}
RECORDS = [
    ("203.0.113.0/24", {"autonomous_system_number": 64500,
                        "autonomous_system_organization": "Example Hosting", **GEOLITE}),
    ("198.51.100.0/24", {"asn": "AS64501", "as_name": "Example VPN", "as_domain": "example.net",
                         "country": "Nowhere", "country_code": "ZZ"}),
    # Two systems in one /24, in one country.
    ("192.0.2.0/25", {"asn": "AS64502", "name": "Example Cloud East", "country": "ZZ"}),
    ("192.0.2.128/25", {"asn": "AS64503", "name": "Example Cloud West", "country": "zz"}),
    # One system, known for half of the /24 only.
    ("198.18.0.0/25", {"autonomous_system_number": 64504, **GEOLITE}),
    ("2001:db8::/32", {"autonomous_system_number": 64505,
                       "autonomous_system_organization": "Example Six", **GEOLITE}),
]
# What plays know of the networks they draw from: a test compares it with Place::ALL.
PLAYS = [
    (network, {"autonomous_system_number": number,
               "autonomous_system_organization": name, "country": {"iso_code": country}})
    for network, number, name, country in [
        ("198.18.0.0/17", 64510, "Example Offices", "XA"),
        ("198.18.128.0/18", 64511, "Example Lines", "XA"),
        ("198.18.192.0/18", 64512, "Example Abroad", "XB"),
        ("198.19.0.0/18", 64513, "Example Servers", "XA"),
        ("198.19.64.0/18", 64514, "Example Exits", "XA"),
        ("198.19.128.0/17", 64515, "Example Cloud", "XA"),
    ]
]


def head(kind, size):
    """The control byte of a value, with its length."""
    extended = kind > 7
    first = (0 if extended else kind) << 5
    if size < 29:
        start, more = first | size, b""
    else:
        start, more = first | 29, bytes([size - 29])
    return bytes([start]) + (bytes([kind - 7]) if extended else b"") + more


def value(thing):
    if isinstance(thing, str):
        text = thing.encode()
        return head(2, len(text)) + text
    if isinstance(thing, dict):
        return head(7, len(thing)) + b"".join(value(k) + value(v) for k, v in thing.items())
    if isinstance(thing, list):
        return head(11, len(thing)) + b"".join(map(value, thing))
    kind, number = thing
    digits = number.to_bytes(8, "big").lstrip(b"\0")
    return head({"u16": 5, "u32": 6, "u64": 9}[kind], len(digits)) + digits


def typed(thing):
    if isinstance(thing, dict):
        return {key: typed(inner) for key, inner in thing.items()}
    return ("u32", thing) if isinstance(thing, int) else thing


def main():
    data, leaves = b"", []
    for network, record in PLAYS if sys.argv[1:] == ["plays"] else RECORDS:
        net = ipaddress.ip_network(network)
        bits = net.prefixlen + (96 if net.version == 4 else 0)
        leaves.append((int(net.network_address), bits, len(data)))
        data += value(typed(record))
    nodes = [[None, None]]
    for address, bits, offset in leaves:
        at = 0
        for depth in range(bits):
            bit = address >> (127 - depth) & 1
            if depth == bits - 1:
                nodes[at][bit] = ("data", offset)
            else:
                if nodes[at][bit] is None:
                    nodes.append([None, None])
                    nodes[at][bit] = len(nodes) - 1
                at = nodes[at][bit]
    count = len(nodes)

    def pointer(child):
        if child is None:
            return count
        return child if isinstance(child, int) else count + 16 + child[1]

    tree = b"".join(struct.pack(">I", pointer(child))[1:] for node in nodes for child in node)
    metadata = {
        "binary_format_major_version": ("u16", 2), "binary_format_minor_version": ("u16", 0),
        "build_epoch": ("u64", 1790000000), "database_type": "tokenwatch-demo",
        "description": {}, "ip_version": ("u16", 6),
        "languages": ["en"], "node_count": ("u32", count), "record_size": ("u16", 24),
    }
    out = tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + value(metadata)
    sys.stdout.buffer.write(out)


main()
