/*
 * Unwinding frames of x86-64 images by their function tables (.pdata, .xdata).
 *
 * Source: Microsoft, "x64 exception handling" (RUNTIME_FUNCTION, UNWIND_INFO, unwind procedure) and
 * the documentation of the Rtl functions of the same names.
 */
#ifndef KE_UNWIND_H
#define KE_UNWIND_H

#include "loader/ke/exception.h"

#ifdef __x86_64__

/* RUNTIME_FUNCTION; addresses are relative to the image base. */
struct ke_runtime_function {
    uint32_t BeginAddress, EndAddress, UnwindData;
};

#define KE_UNW_FLAG_NHANDLER  0x0u
#define KE_UNW_FLAG_EHANDLER  0x1u
#define KE_UNW_FLAG_UHANDLER  0x2u
#define KE_UNW_FLAG_CHAININFO 0x4u

struct ke_dispatcher_context; /* DISPATCHER_CONTEXT */
typedef enum ke_disposition(WINAPI *ke_language_handler)(struct ke_exception_record *record,
                                                         uint64_t establisher_frame,
                                                         struct ke_context *context,
                                                         struct ke_dispatcher_context *dispatcher);
struct ke_dispatcher_context {
    uint64_t ControlPc, ImageBase;
    const struct ke_runtime_function *FunctionEntry;
    uint64_t EstablisherFrame, TargetIp;
    struct ke_context *ContextRecord;
    ke_language_handler LanguageHandler;
    void *HandlerData;
    void *HistoryTable;
    uint32_t ScopeIndex, Fill0;
};
_Static_assert(sizeof(struct ke_dispatcher_context) == 0x50, "DISPATCHER_CONTEXT");

/* KNONVOLATILE_CONTEXT_POINTERS: where the registers of the caller were found; entries are NULL for
 * those that are unchanged. By register number. */
struct ke_context_pointers {
    struct ke_xmm *Xmm[16];
    uint64_t *Integer[16];
};

/* RtlLookupFunctionEntry: NULL = a leaf function, or no image. Image tables, then dynamic ones. */
const struct ke_runtime_function *WINAPI ke_lookup_function_entry(uint64_t pc, uint64_t *image_base,
                                                                  void *history_table);
/* RtlVirtualUnwind: `context` becomes the caller's; the language handler of the frame, if it has
 * one of the kind that `handler_type` asks for, is returned. */
ke_language_handler WINAPI ke_virtual_unwind(uint32_t handler_type, uint64_t image_base,
                                             uint64_t pc,
                                             const struct ke_runtime_function *function,
                                             struct ke_context *context, void **handler_data,
                                             uint64_t *establisher_frame,
                                             struct ke_context_pointers *pointers);
/* RtlUnwindEx. `context` is scratch. Returns only when it fails. */
void WINAPI ke_unwind_ex(void *target_frame, void *target_ip, struct ke_exception_record *record,
                         void *return_value, struct ke_context *context, void *history_table);
/* RtlRestoreContext, STATUS_LONGJUMP and STATUS_UNWIND_CONSOLIDATE included. */
void WINAPI ke_restore_context(struct ke_context *context, struct ke_exception_record *record);

/* RtlAddFunctionTable, RtlDeleteFunctionTable, RtlInstallFunctionTableCallback and the growable
 * form (RtlAddGrowableFunctionTable ...). */
uint8_t WINAPI ke_add_function_table(struct ke_runtime_function *table, uint32_t count,
                                     uint64_t base);
uint8_t WINAPI ke_delete_function_table(struct ke_runtime_function *table);
typedef struct ke_runtime_function *(WINAPI *ke_function_table_callback)(uint64_t pc,
                                                                         void *context);
uint8_t WINAPI ke_install_function_table_callback(uint64_t identifier, uint64_t base,
                                                  uint32_t length,
                                                  ke_function_table_callback callback,
                                                  void *context, const uint16_t *out_of_process);
uint32_t WINAPI ke_add_growable_function_table(void **handle, struct ke_runtime_function *table,
                                               uint32_t count, uint32_t maximum, uint64_t begin,
                                               uint64_t end);
void WINAPI ke_grow_function_table(void *handle, uint32_t count);
void WINAPI ke_delete_growable_function_table(void *handle);

#endif

/*
 * The return addresses of this thread's stack from `context` outwards, images' and native ones';
 * returns how many. Takes no lock and allocates nothing. On i386 frames of images are followed by
 * ebp as long as it makes sense.
 */
uint32_t ke_backtrace(const struct ke_context *context, uintptr_t *out, uint32_t capacity);

#endif
