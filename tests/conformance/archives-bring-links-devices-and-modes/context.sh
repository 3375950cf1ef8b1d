mkdir t
echo 1 > t/1
ln t/1 t/2
ln -s /1 t/abs
ln -s ../../../etc t/up
mkfifo t/fifo
mknod t/zero c 1 5
chmod 4711 t/1
mkdir -m 1770 t/d
setfattr -n user.k -v v t/1
tar --xattrs --xattrs-include='*' --owner=3 --group=4 --sort=name -C t -cf t.tar .
