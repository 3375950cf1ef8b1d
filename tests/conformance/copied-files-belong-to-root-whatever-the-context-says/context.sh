mkdir d
echo x > d/x
chown -R 1000:1000 d
