mkdir -p etc
echo own > etc/os-release
echo new > etc/new
