echo one > one
echo two > two
chmod 700 two
setfattr -n user.a -v b one
