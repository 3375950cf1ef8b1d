mkdir -p dir/sub
echo f > f
echo g > g
echo s > dir/sub/s
