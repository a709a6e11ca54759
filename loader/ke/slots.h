/*
 * Dynamic TLS slots and fiber-local storage.
 *
 * TLS values live in the TEB (64) and behind TEB.TlsExpansionSlots (1024), where compiled code
 * reads them inline; the bitmaps are the PEB's. FLS values are reached through TEB.FlsData, which
 * is opaque on Windows as well; peldr has no fibers, so they are per thread.
 */
#ifndef KE_SLOTS_H
#define KE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/abi.h"
#include "loader/ke/teb.h"

#define KE_NO_SLOT 0xFFFFFFFFu
#define KE_TLS_MAX (KE_TLS_SLOTS + KE_TLS_EXPANSION_SLOTS)
#define KE_FLS_MAX 4080u /* FLS_MAXIMUM_AVAILABLE of Windows 10 */

typedef void(WINAPI *ke_fls_callback)(void *value);

/* Points the PEB at its bitmaps. */
void ke_slots_init(struct ke_peb *peb);

/* KE_NO_SLOT when all are taken. A new slot is NULL in every thread. */
uint32_t ke_tls_alloc(void);
bool ke_tls_free(uint32_t index); /* false: not allocated */
/* `index` below KE_TLS_MAX; allocation is not checked, as on Windows. */
void *ke_tls_get(const struct ke_teb *teb, uint32_t index);
bool ke_tls_set(struct ke_teb *teb, uint32_t index, void *value); /* false: no memory */

uint32_t ke_fls_alloc(ke_fls_callback callback);
/* Runs the callback for every thread's value. False: not allocated. */
bool ke_fls_free(uint32_t index);
bool ke_fls_valid(uint32_t index); /* allocated */
void *ke_fls_get(const struct ke_teb *teb, uint32_t index);
bool ke_fls_set(struct ke_teb *teb, uint32_t index, void *value); /* false: no memory */
/* The end of a thread: callbacks for its values, then (after the modules' detach) the memory. */
void ke_fls_run_callbacks(struct ke_teb *teb);
void ke_slots_release(struct ke_teb *teb);

#endif
