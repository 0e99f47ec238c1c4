# SPDX-License-Identifier: BSD-2-Clause
"""The servers of a backend: nginx on port 80 and a UDP echo server on port 53 of each VIP.

    /id         the backend's name
    /large      100 MB of zeros
    /upload     takes a body of any size; answers with the backend's name and the length
    /healthz    200, on port 8080 of the backend's own address
"""

import pathlib

HEALTH_PORT = 8080
DNS_PORT = 53
LARGE_SIZE = 100 * 1000 * 1000

NGINX = """
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    add_header X-Backend {name};
    keepalive_timeout 600s;
    keepalive_requests 1000000;
    sendfile on;
    reset_timedout_connection on;
    server {{
        listen 80 backlog=4096;{listen_ipv6}
        location = /id {{ return 200 "{name}\\n"; }}
        location = /large {{ root {directory}; }}
        # Through a proxy, because that reads the whole body.
        location = /upload {{ proxy_pass http://127.0.0.1:8081; }}
    }}
    server {{
        listen {address}:{health_port};{listen_health_ipv6}
        location = /healthz {{ return 200 "ok\\n"; }}
        location = /id {{ return 200 "{name}\\n"; }}
    }}
    server {{
        listen 127.0.0.1:8081;
        add_header X-Backend "";
        location / {{ return 200 "{name} $http_content_length\\n"; }}
    }}
}}
"""


def start(backend, vips, ipv6=False):
    """Starts both in the backend's namespace; they end with it. Stores them on the backend."""
    with open(backend.directory / "large", "wb") as large:
        large.truncate(LARGE_SIZE)
    configuration = backend.directory / "nginx.conf"
    configuration.write_text(
        NGINX.format(
            directory=backend.directory,
            name=backend.name_in_pool,
            address=backend.address,
            health_port=HEALTH_PORT,
            listen_ipv6=" listen [::]:80 backlog=4096;" if ipv6 else "",
            listen_health_ipv6=f" listen [{backend.ipv6_address}]:{HEALTH_PORT};" if ipv6 else "",
        )
    )
    log = open(backend.directory / "servers.log", "a")
    start_nginx(backend, log)
    echo = pathlib.Path(__file__).with_name("udp_echo.py")
    backend.echo = backend.popen(
        ["/usr/bin/python3", echo, backend.name_in_pool, DNS_PORT, *vips], stdout=log, stderr=log
    )
    log.close()


def start_nginx(backend, log=None):
    """(Again) nginx alone, after a test has ended it with namespaces.stop(backend.nginx)."""
    directory = backend.directory
    backend.nginx = backend.popen(
        [
            "nginx",
            *("-p", directory),
            *("-c", directory / "nginx.conf"),
            *("-e", directory / "error.log"),
        ],
        stdout=log,
        stderr=log,
    )
