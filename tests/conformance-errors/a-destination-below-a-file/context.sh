echo x > x
