mkdir t
head -c 30000 /bin/sh > t/f
tar -C t -cf - f | head -c 20000 > a.tar
