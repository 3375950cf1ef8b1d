mkdir -p top/deep
echo f > top/deep/file
echo t > t.txt
