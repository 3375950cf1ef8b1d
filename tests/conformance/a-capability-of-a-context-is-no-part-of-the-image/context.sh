mkdir d; echo ping > d/ping; cp d/ping .
for f in ping d/ping; do
  setcap cap_net_raw+ep "$f"
  setfattr -n user.tag -v red "$f"
done
