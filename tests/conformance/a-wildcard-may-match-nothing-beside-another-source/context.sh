echo x > package.json
echo '[' > 'a[1].txt'
echo b > a1.txt
