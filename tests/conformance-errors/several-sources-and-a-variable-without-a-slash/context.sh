echo x | tee a > b
