echo x > x
tar -P --transform='s,^x,../../x,' -cf a.tar x
