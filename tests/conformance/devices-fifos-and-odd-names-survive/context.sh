mkdir d
mkfifo -m 640 d/fifo
touch "$(printf 'd/latin-\351')" "d/new
line" 'd/quote"\' 'd/ütf'
python3 - <<'PY'
import socket
s = socket.socket(socket.AF_UNIX)
s.bind("d/socket")
PY
long=$(printf 'n%.0s' $(seq 200))
mkdir -p d/$long/$long
echo deep > d/$long/$long/file
