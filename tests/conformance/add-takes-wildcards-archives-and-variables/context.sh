mkdir t
echo a > t/a
echo b > t/b
tar --owner=0 --group=0 --mtime=@0 --sort=name -C t -cf a.tar a b
gzip -nk a.tar
mv a.tar b.tar.xz
rm -r t
echo plain > plain
