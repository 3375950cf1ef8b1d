echo x > x
tar -P --transform='s,^x,/abs/x,' -cf absolute.tar x
