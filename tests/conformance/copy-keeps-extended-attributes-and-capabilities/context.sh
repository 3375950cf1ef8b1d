echo ping > ping
chmod 755 ping
setcap cap_net_raw+ep ping
echo note > note
setfattr -n user.color -v blue note
tar --xattrs --xattrs-include='*' --owner=0 --group=0 -cf in.tar ping note
rm ping note
