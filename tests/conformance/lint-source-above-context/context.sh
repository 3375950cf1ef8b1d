mkdir docs
echo x > visible
