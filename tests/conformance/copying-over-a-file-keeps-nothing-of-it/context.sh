echo one > one
setfattr -n user.a -v b one
tar --xattrs --xattrs-include='*' --owner=1 --group=2 --mode=4711 -cf one.tar one
echo two > two
chmod 700 two
