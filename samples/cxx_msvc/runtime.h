/*
 * What the static part of Visual C++'s runtime would bring. Included by one file of each image.
 */
/* type_info's table of virtual functions: the address is in every type's descriptor. */
extern "C" {
extern void *const type_info_table[1] __asm__("??_7type_info@@6B@");
void *const type_info_table[1] = {nullptr};
}

using size_t = decltype(sizeof(0));
void operator delete(void *) noexcept
{
}
void operator delete(void *, size_t) noexcept
{
}

extern "C" int _fltused = 0;
extern "C" int __stdcall DllMain(void *, unsigned, void *)
{
    return 1;
}
