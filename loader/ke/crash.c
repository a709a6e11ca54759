/*
 * The last words of an exception that nobody handled: what, where, the registers, the code and who
 * called. Standard error gets them line by line with write(2), so that they come out of a process
 * in any state; the bare first line needs no context and little stack.
 */
#include <string.h>

#include "loader/ke/crash.h"
#include "loader/ke/thread.h"
#include "loader/ke/unwind.h"
#include "loader/ldr/imagemap.h"

enum { FRAMES_SHOWN = 48 };

const char *ke_exception_name(uint32_t code)
{
    static const struct {
        uint32_t code;
        const char *name;
    } names[] = {
        {0xE06D7363, "C++ exception (MSVC)"},
        {0x20474343, "C++ exception (GCC)"},
        {0xE0434352, "CLR exception"},
        {0xC0000025, "STATUS_NONCONTINUABLE_EXCEPTION"},
        {0xC0000094, "STATUS_INTEGER_DIVIDE_BY_ZERO"},
        {0xC00000FD, "STATUS_STACK_OVERFLOW"},
        {0xC0000409, "STATUS_STACK_BUFFER_OVERRUN"},
        {0xC06D007E, "delay-load module not found"},
        {0xC06D007F, "delay-load function not found"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].code == code)
            return names[i].name;
    const char *name = nt_status_name(code);
    return strcmp(name, "STATUS_UNKNOWN") ? name : "";
}

/* " reading 0x10", " with status 0xc0000011": what the parameters of the code say. */
static void put_parameters(struct ke_text *text, const struct ke_exception_record *record)
{
    enum { ACCESS_VIOLATION = 0xC0000005, IN_PAGE_ERROR = 0xC0000006, STACK_OVERFLOW = 0xC00000FD };
    enum { READ = 0, WRITE = 1, EXECUTE = 8 };
    const uintptr_t *parameters = record->ExceptionInformation;
    bool in_page = record->ExceptionCode == (uint32_t)IN_PAGE_ERROR;
    if ((record->ExceptionCode != (uint32_t)ACCESS_VIOLATION && !in_page &&
         record->ExceptionCode != (uint32_t)STACK_OVERFLOW) ||
        record->NumberParameters < 2)
        return;
    ke_text_put(text, parameters[0] == EXECUTE ? " executing "
                      : parameters[0] == WRITE ? " writing "
                                               : " reading ");
    ke_text_hex(text, parameters[1]);
    if (in_page && record->NumberParameters > 2) {
        ke_text_put(text, " with status ");
        ke_text_hex(text, (uint32_t)parameters[2]);
    }
}

void ke_report_exception(const struct ke_exception_record *record)
{
    struct ke_text text = {.length = 0};
    ke_text_put(&text, "unhandled exception ");
    const char *name = ke_exception_name(record->ExceptionCode);
    ke_text_put(&text, name);
    ke_text_put(&text, *name ? " " : "");
    ke_text_hex(&text, record->ExceptionCode);
    ke_text_put(&text, " at ");
    ke_text_address(&text, (uintptr_t)record->ExceptionAddress);
    put_parameters(&text, record);
    ke_text_report(&text);
}

static void report_registers(const struct ke_context *context)
{
    static const struct {
        char name[4];
        uint16_t offset;
    } registers[] = {
#define ROW(name, field) {name, offsetof(struct ke_context, field)}
#ifdef __x86_64__
        ROW("rax", Rax), ROW("rbx", Rbx), ROW("rcx", Rcx), ROW("rdx", Rdx), ROW("rsi", Rsi),
        ROW("rdi", Rdi), ROW("rbp", Rbp), ROW("rsp", Rsp), ROW("r8 ", R8),  ROW("r9 ", R9),
        ROW("r10", R10), ROW("r11", R11), ROW("r12", R12), ROW("r13", R13), ROW("r14", R14),
        ROW("r15", R15), ROW("rip", Rip),
#else
        ROW("eax", Eax), ROW("ebx", Ebx), ROW("ecx", Ecx), ROW("edx", Edx), ROW("esi", Esi),
        ROW("edi", Edi), ROW("ebp", Ebp), ROW("esp", Esp), ROW("eip", Eip),
#endif
#undef ROW
    };
    enum { A_LINE = 4, COUNT = sizeof(registers) / sizeof(registers[0]) };
    struct ke_text text = {.length = 0};
    for (unsigned i = 0; i < COUNT; i++) {
        uintptr_t value;
        memcpy(&value, (const char *)context + registers[i].offset, sizeof(value));
        ke_text_put(&text, "  ");
        ke_text_put(&text, registers[i].name);
        ke_text_put(&text, "=");
        ke_text_hex_padded(&text, value, 2 * sizeof(value));
        if (i == COUNT - 1) {
            ke_text_put(&text, "  flags=");
            ke_text_hex_padded(&text, context->EFlags, 8);
        }
        if (i % A_LINE == A_LINE - 1 || i == COUNT - 1) {
            ke_text_report(&text);
            text = (struct ke_text){.length = 0};
        }
    }
}

/* A return address may lie behind the end of the function that it returns to, so the byte before it
 * is what is named; not so where a thread or program starts, which nothing has called. */
static uintptr_t named_byte(uintptr_t address, bool returns)
{
    return returns && (!ldr_image_at(address, NULL) || ke_is_return_address(address)) ? address - 1
                                                                                      : address;
}

/* "#3  zlib1.dll+0x1234 (0x180001234)  zlib1.dll!inflate+0x12" */
static void report_frame(unsigned number, uintptr_t address, bool returns)
{
    struct ke_text text = {.length = 0}, symbol = {.length = 0};
    uintptr_t start;
    ke_text_put(&text, "  #");
    ke_text_number(&text, number);
    ke_text_put(&text, number < 10 ? "  " : " ");
    ke_text_address(&text, address);
    ke_text_symbol(&symbol, named_byte(address, returns), &start);
    if (symbol.length) {
        ke_text_put(&text, "  ");
        ke_text_put(&text, symbol.bytes);
    }
    ke_text_report(&text);
}

/* What image code raised by a call starts with peldr's own functions, which say nothing. */
static unsigned first_of_image(const uintptr_t *frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (ldr_image_at(frames[i], NULL))
            return i;
    return 0;
}

static void report_backtrace(const struct ke_context *context, bool faulted)
{
    uintptr_t frames[FRAMES_SHOWN + 1] = {KE_CONTEXT_PC(context)};
    unsigned count = 1 + ke_backtrace(context, frames + 1, FRAMES_SHOWN), number = 0;
    for (unsigned i = faulted ? 0 : first_of_image(frames, count); i < count; i++)
        report_frame(number++, frames[i], i > 0);
}

static void report_context(const struct ke_exception_record *record,
                           const struct ke_context *context)
{
    bool faulted = (uintptr_t)record->ExceptionAddress == KE_CONTEXT_PC(context);
    struct ke_text text = {.length = 0};
    if (ke_current) {
        ke_text_put(&text, "thread ");
        ke_text_number(&text, ke_current->teb->ThreadId);
        ke_text_put(&text, faulted ? ", registers:" : ", backtrace:");
        ke_text_report(&text);
    }
    if (faulted) {
        report_registers(context);
        ke_report_code(KE_CONTEXT_PC(context));
    }
    report_backtrace(context, faulted);
}

void ke_report_crash(const struct ke_exception_record *record, const struct ke_context *context)
{
    /* an exception of the report itself gets the line alone */
    static __thread bool reporting __attribute__((tls_model("initial-exec")));
    ke_report_exception(record);
    if (!context || reporting)
        return;
    reporting = true;
    report_context(record, context);
    reporting = false;
}
