mkdir shared setgid
echo s > setuid
chmod 4755 setuid
chmod 2755 setgid
chmod 1777 shared
echo x > shared/x
