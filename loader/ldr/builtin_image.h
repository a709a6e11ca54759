/*
 * The registry of builtin modules and the PE images that are written for them, for the rest of
 * ldr/.
 *
 * Locks: the registry belongs to the loader lock, which every function here takes that touches it.
 */
#ifndef LDR_BUILTIN_IMAGE_H
#define LDR_BUILTIN_IMAGE_H

#include "loader/abi.h"
#include "loader/ldr/builtin.h"
#include "pe/image.h"

/* By name without case, with or without ".dll"; NULL when there is none. */
const struct ldr_builtin *ldr_builtin_find(const char *name);
/* In order of registration; NULL begins and ends. */
const struct ldr_builtin *ldr_builtin_next(const struct ldr_builtin *builtin);
/* The address that its image prefers: its own wish, or one that no other builtin got. */
uint64_t ldr_builtin_base(const struct ldr_builtin *builtin);

/*
 * Writes the PE file: PE32+ or PE32 by the word size of this process. `*bytes` is the caller's to
 * free(). File offsets equal RVAs (both alignments are a page). STATUS_INVALID_PARAMETER names the
 * export that makes no sense.
 */
nt_status ldr_builtin_image(const struct ldr_builtin *builtin, uint8_t **bytes, uint64_t *size,
                            struct pe_error *err);
/* After mapping, before anyone uses it: fills the locations of the DATA exports. */
void ldr_builtin_bind(const struct ldr_builtin *builtin, const struct pe_image *mapped);
/* True for a name that Windows exports and the builtin has no function for: its export is a trap.
 */
bool ldr_builtin_is_trap(const struct ldr_builtin *builtin, const char *name);
/* Where the traps of every image come out (trap.S): no function for C, it takes a record in rax. */
void ldr_trap_entry(void);
/* ... and end: calls the trap handler, which does not return. */
void WINCDECL_DEF ldr_builtin_trap(const char *module, const char *name) __attribute__((noreturn));

#endif
