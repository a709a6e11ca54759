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
#include "loader/mm/section.h"
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
/* The same as a section object. Its views are to be connected to the host's functions while they
 * are open. */
nt_status ldr_builtin_section(const struct ldr_builtin *builtin, struct mm_section **out,
                              struct pe_error *err);
void ldr_builtin_connect(const struct ldr_builtin *builtin, const struct pe_image *mapped);
/* builtin_prepared.c: the first two from the prepared image. */
nt_status ldr_prepared_image(const struct ldr_builtin *builtin, uint8_t **bytes, uint64_t *size,
                             struct pe_error *err);
nt_status ldr_prepared_section(const struct ldr_builtin *builtin, struct mm_section **out,
                               struct pe_error *err);
/* Writes the addresses of the host's functions into a copy of the prepared image. */
void ldr_prepared_connect(const struct ldr_builtin *builtin, uint8_t *image);
/* They are in the prepared image already (loader/bind.h): nothing of it is written any more. */
bool ldr_prepared_is_bound(const struct ldr_builtin *builtin);
void ldr_prepared_bind(const struct ldr_builtin *builtin, const struct pe_image *mapped);
/* After mapping, before anyone uses it: fills the locations of the DATA exports. */
void ldr_builtin_bind(const struct ldr_builtin *builtin, const struct pe_image *mapped);
/* Whether an export of a mapped builtin, by its RVA, is a trap: a name that Windows exports and the
 * builtin has no function for. */
bool ldr_builtin_is_trap(const struct pe_image *mapped, uint32_t rva);
/* The name under which a builtin has a host function, or NULL. Takes no lock and no memory: crash
 * reports ask. */
const char *ldr_builtin_function_name(const struct ldr_builtin *builtin, uintptr_t function);
/* Where the traps of every image come out (trap.S): no function for C, it takes a record in rax. */
void ldr_trap_entry(void);
/* ... and end: calls the trap handler, which does not return. */
void WINCDECL_DEF ldr_builtin_trap(const char *module, const char *name) __attribute__((noreturn));

#endif
