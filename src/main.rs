fn main() {
    imgmake::build::worker::reexec_entry();
}
