# N01, N02, N04, N05, N07, N08, N10, N11, N13, N16, N17, E44: reaches out: to the internet, the cloud's
# metadata, the engine, the host's own servers by address and by abstract name; with raw sockets; and
# looks at what interfaces there are. Arguments: a port and an abstract name on which the host listens; and
# "near" for a run that is not sealed off, which shall knock nowhere but there.
import socket
import sys

from attempts import attempt, done, tell

PORT, NAME = int(sys.argv[1]), "\0" + sys.argv[2]


def tcp(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(1)
        connection.connect((host, port))


def udp(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.sendto(b"x", (host, port))


def abstract():
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(NAME)


def loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), 5):
            server.accept()[0].close()


FAR = (
    ("1.1.1.1", 443), ("8.8.8.8", 53), ("169.254.169.254", 80), ("169.254.170.2", 80),
    ("100.100.100.200", 80), ("168.63.129.16", 80), ("172.17.0.1", 2375), ("192.168.65.7", 2376),
    ("10.0.0.1", 10250), ("2606:4700::1111", 443), ("fd00::1", 80), ("ff02::1", 80),
)  # fmt: skip
for host, port in () if sys.argv[3:] == ["near"] else FAR:
    attempt(f"tcp {host}", tcp, host, port)
    attempt(f"udp {host}", udp, host, 53)
attempt("the host's server", tcp, "127.0.0.1", PORT)
attempt("the host's abstract name", abstract)
attempt("loopback", loopback)
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and None)
attempt("ping", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1) and None)
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3) and None)
attempt("tunnel", lambda: open("/dev/net/tun").close())
attempt("name", lambda: socket.getaddrinfo("host.docker.internal", 80) and None)
tell("interfaces", sorted(line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]))
tell("routes", len(open("/proc/net/route").readlines()[1:]))
tell("neighbours", len(open("/proc/net/arp").readlines()[1:]))
try:
    tell(
        "nameservers", [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
    )
except FileNotFoundError:
    tell("nameservers", [])
done()
