mkdir -m 755 d
echo f > d/f
echo g > d/g
chmod 755 d/g
