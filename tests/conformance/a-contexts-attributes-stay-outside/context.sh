echo ping > ping; mkdir named d; echo note > d/note; cp d/note named
setcap cap_net_raw+ep ping
for f in ping d d/note named/note; do
  setfattr -n user.xdg.origin.url -v https://example.org "$f"
  setfattr -n security.other -v label "$f"
done
