mkdir t
echo 1 > t/1
tar --owner=0 --group=0 -C t --mtime=@0 --format=gnu -cf t.tgz 1
