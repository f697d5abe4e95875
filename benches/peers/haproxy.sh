#!/usr/bin/env bash
# HAProxy as a plain reverse proxy on one thread: haproxy.sh LISTEN SERVER (Debian: apt-get install haproxy)
set -euo pipefail
cat > haproxy.cfg <<CONF
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend in
  bind $1
  default_backend server
backend server
  server one $2 pool-max-conn 1024
CONF
exec haproxy -db -q -f haproxy.cfg
