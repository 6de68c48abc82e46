#!/usr/bin/python3
"""The road of a packet and of a call has no lock, asks no allocator and makes no system call: looks for them in the
compiled libraries. What is found must stand below with its reason. usage: check_road.py ARCHIVE...; exit 1 with a
line for each fault."""
import re
import subprocess
import sys

CALLS = {"malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "strdup", "strndup",
         "mmap", "munmap", "madvise", "mlock", "munlock", "brk", "sbrk",
         "read", "write", "open", "close", "poll", "select", "send", "recv", "sendmsg", "recvmsg", "ioctl", "fsync",
         "nanosleep", "usleep", "sleep", "sched_yield", "futex", "syscall", "getrandom"}
LOCKS = re.compile(r"^(pthread_(mutex|rwlock|spin|cond|barrier)_\w+|sem_\w+|rte_spinlock_\w+|rte_rwlock_\w+|"
                   r"rte_malloc\w*|rte_zmalloc\w*|rte_calloc\w*|rte_free|rte_ring_create\w*|rte_mempool_create\w*)$")

# Functions that are not on the road: made, loaded, taken over and ended with a worker, a set or the program. What
# comes and goes with connections and calls is on it, whatever its name.
OFF_THE_ROAD = re.compile(
    r"^(?!exchange_|caller_|vendor_|tls_session_|tls_free$|conn_|segment_)"
    r"\w*(_new|_delete|_free|_load|_load_beside|_open|_close|_make|_init|_start|_build|_compile|_adopt|_builder_\w+|_wipe)$|"
    r"^rules_expr_\w+$")

# On it, or not known by their names; each with why it may.
ALLOWED = {
    "net": {"drain": "ports being closed", "net_port_find": "start", "net_port_start": "start",
            "net_port_join": "start", "net_port_leave": "the end",
            "make_ring": "start", "free_huge_kib": "start", "free_pages": "start", "make_pools": "start"},
    "tcp": {"slab": "start"},
    "tls": {"tls_session_new": "once a connection", "tls_free": "once a connection", "tls_leaf_for": "once a name that was not in the cache",
            "tls_leaf_drop": "a leaf that goes from the cache", "tls_host_keep": "once a vendor's name",
            "tls_host_drop": "a vendor's name that is forgotten",
            "tls_peer_capture": "once a connection whose caller shows a certificate",
            "tls_vendor_side_of": "a vendor's own TLS settings, once a set of rules",
            "block_take": "more records that wait in part than ever before", "block_give": "as block_take",
            "tls_vendor_side_drop": "as tls_vendor_side_of", "tls_file_read": "start",
            "tls_pem_blob": "start"},
    "match": {"list_new": "a set being compiled", "locked_new": "a set being compiled",
              "locked_free": "a set that goes", "slot_free": "once a reload", "match_worker_forget": "once a reload"},
    "rules": {"job_run": "rules being checked", "rules_zone_read": "rules being loaded"},
    "call": {"exchange_new": "more calls in progress than ever before", "exchange_make": "as exchange_new",
             "make_slabs": "start", "map_region": "start", "free_exchanges": "the end"},
}
# Compare-and-swap on what workers share is what these are for: no one ever waits for another there.
LOCK_FREE = {"window": "sums that all workers add to"}
# The reference count of an mbuf, 16 bits wide: DPDK's, touched so only while two hold the mbuf.
REFERENCE_COUNT = re.compile(r"^lock (sub|add)w ")


def disassembly(archive):
    """(function, instruction or relocated symbol) of everything in an archive."""
    done = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", archive], stdout=subprocess.PIPE, text=True,
                          check=True)
    function = ""
    for line in done.stdout.splitlines():
        if head := re.match(r"^[0-9a-f]+ <([^>]+)>:$", line):
            function = re.sub(r"\.(part|cold|isra|constprop|lto_priv).*", "", head.group(1))
        elif called := re.search(r"R_X86_64_(?:PLT32|PC32|GOTPCRELX?|REX_GOTPCRELX)\s+(\w+)", line):
            yield function, "call", called.group(1)
        elif "\t" in line:
            yield function, "code", line.split("\t", 1)[1].strip()


def fault_of(library, function, kind, what):
    allowed = ALLOWED.get(library, {})
    if OFF_THE_ROAD.match(function) or function in allowed:
        return None
    if kind == "call" and (what in CALLS or LOCKS.match(what)):
        return f"calls {what}"
    if kind == "code" and (what.startswith("lock ") or re.match(r"xchg .*\(", what)):
        if library in LOCK_FREE or REFERENCE_COUNT.match(what):
            return None
        return f"has a locked instruction: {what}"
    if kind == "code" and what.startswith("syscall"):
        return "makes a system call"
    return None


def main():
    faults, seen = set(), 0
    for archive in sys.argv[1:]:
        library = re.search(r"turnpike_(\w+)\.a$", archive).group(1)
        for function, kind, what in disassembly(archive):
            seen += 1
            fault = fault_of(library, function, kind, what)
            if fault:
                faults.add(f"lib/{library}: {function} {fault}")
    if seen < 10000:
        faults.add(f"only {seen} instructions seen: is this the right place?")
    print("\n".join(sorted(faults)) if faults else f"{seen} instructions: no lock, no allocation, no system call")
    return 1 if faults else 0


sys.exit(main())
