mkdir d keep
echo f > d/f
echo k > keep/k
python3 - <<'PY'
import socket
socket.socket(socket.AF_UNIX).bind("d/socket")
PY
