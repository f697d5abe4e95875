#!/usr/bin/env bash
# nginx as a plain reverse proxy, one process, nothing buffered: nginx.sh LISTEN SERVER (Debian: apt-get install nginx-light)
set -euo pipefail
cat > nginx.conf <<CONF
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path body;
  proxy_temp_path proxied;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream server { server $2; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen $1;
    location / {
      proxy_pass http://server;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
CONF
exec nginx -p "$PWD" -e stderr -c "$PWD/nginx.conf"
