echo old > old
echo new > new
touch -d @500 old
touch -d @2000 new
