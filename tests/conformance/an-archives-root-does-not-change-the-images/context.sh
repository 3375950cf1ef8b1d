mkdir -m 700 t
echo x > t/x
tar --owner=5 --group=6 -C t -cf a.tar .
