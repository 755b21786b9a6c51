/*
 * The kernel programs, unchanged, and by name: what a loader reads from the object's sections and
 * from the maps' types.
 */
#include "proctor.bpf.c"
#include "stub.h"

#define COUNT(member) (sizeof(*(member)) / sizeof(int))
#define MAP(map)                                                                              \
	{ #map, &map, COUNT(map.type), COUNT(map.max_entries), sizeof(*map.key), sizeof(*map.value) }
#define RING(map) { #map, &map, COUNT(map.type), COUNT(map.max_entries), 0, 0 }
#define PROGRAM(program) { #program, (stub_program *)&program }

struct stub_map stub_maps[] = {
	RING(lifecycle), RING(payload), MAP(losses), MAP(processes), MAP(scope_cgroups),
	MAP(exec_scratch), MAP(scope_exes), MAP(files), MAP(held), MAP(connections),
	MAP(dns_sockets), MAP(handles), MAP(freed), MAP(calls), MAP(outer_calls), MAP(skipped),
	MAP(record_starts), MAP(file_rules), MAP(files_ending), MAP(holding_ended), MAP(file_uses), MAP(file_scratch),
	MAP(fresh_use),
	{ 0 },
};

const struct stub_named_program stub_programs[] = {
	PROGRAM(process_fork), PROGRAM(process_exec), PROGRAM(process_exit), PROGRAM(process_rows),
	PROGRAM(enter_mmap), PROGRAM(foreign_signal), PROGRAM(socket_state), PROGRAM(exit_accept),
	PROGRAM(exit_accept4), PROGRAM(enter_write), PROGRAM(enter_sendto), PROGRAM(enter_writev),
	PROGRAM(enter_sendmsg), PROGRAM(connection_rows), PROGRAM(dns_egress), PROGRAM(dns_ingress),
	PROGRAM(copy_pieces), PROGRAM(ssl_write_enter), PROGRAM(ssl_write_ex_enter),
	PROGRAM(ssl_read_enter), PROGRAM(ssl_read_ex_enter), PROGRAM(ssl_return),
	PROGRAM(ssl_new_return), PROGRAM(ssl_do_handshake_enter), PROGRAM(ssl_free_enter),
	PROGRAM(handle_rows), PROGRAM(bio_write_enter), PROGRAM(file_call), PROGRAM(file_rows),
	PROGRAM(exit_mprotect), PROGRAM(exit_pkey_mprotect),
	{ 0 },
};

stub_program *stub_tail(void *programs, unsigned int index)
{
	return programs == &tails && index == 0 ? (stub_program *)tails.values[0] : 0;
}

/* Constant for the programs; the loader sets it before, and so do tests. */
void *stub_configuration(void)
{
	return (void *)&configuration;
}
