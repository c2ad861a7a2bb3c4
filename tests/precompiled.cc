// The tests share the precompiled headers that this file is compiled with.
