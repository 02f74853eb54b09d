# A menu; every recipe is one command, and `cargo x help` knows them too.

default:
    @just --list

# the whole gate
ci:
    cargo x ci

# formats, clippy, house rules, documentation
lint:
    cargo x lint

# everything that should pass
test:
    cargo x test

# the house rules alone
tidy:
    cargo x tidy

# every example
examples:
    cargo x examples

# the models; deeper with `just loom 5`
loom preemptions="3":
    cargo x loom {{preemptions}}

# 200 killed processes of each kind, then new seeds of the simulator for some minutes
soak minutes="30":
    cargo x soak {{minutes}}

# what checkpoints cost and how fast a store comes back
figures rounds="5":
    cargo x figures {{rounds}}

# tests of operations on the paths that this processor and kernel would not take
paths:
    cargo x paths

# repairs what can be repaired by a program
fix:
    cargo x fix

# the documentation, in a browser
docs:
    cargo doc --no-deps -p oxifaster --all-features --open

# a benchmark
bench *arguments:
    cargo run --release -p oxifaster-cli --bin oxifaster -- bench {{arguments}}

# what the parts cost; some of them with `just micro hit`
micro *arguments:
    cargo bench -- {{arguments}}
