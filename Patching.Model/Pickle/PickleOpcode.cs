namespace Patching.Model.Pickle;

/// <summary>The instructions of Python's pickle protocols 2 to 5 that plain data and PyTorch's files need, named as Python names
/// them.</summary>
internal enum PickleOpcode : byte
{
    Mark = (byte)'(', Stop = (byte)'.', Pop = (byte)'0', PopMark = (byte)'1', Dup = (byte)'2', BinFloat = (byte)'G', BinInt = (byte)'J',
    BinInt1 = (byte)'K', BinInt2 = (byte)'M', None = (byte)'N', BinPersistentId = (byte)'Q', Reduce = (byte)'R', BinString = (byte)'T',
    ShortBinString = (byte)'U', BinUnicode = (byte)'X', Append = (byte)'a', Build = (byte)'b', Global = (byte)'c', Appends = (byte)'e',
    BinGet = (byte)'h', LongBinGet = (byte)'j', BinPut = (byte)'q', LongBinPut = (byte)'r', SetItem = (byte)'s', Tuple = (byte)'t',
    SetItems = (byte)'u', EmptyDict = (byte)'}', EmptyList = (byte)']', EmptyTuple = (byte)')', BinBytes = (byte)'B',
    ShortBinBytes = (byte)'C', Protocol = 0x80, NewObject = 0x81, Tuple1 = 0x85, Tuple2 = 0x86, Tuple3 = 0x87, True = 0x88, False = 0x89,
    Long1 = 0x8A, Long4 = 0x8B, ShortBinUnicode = 0x8C, BinUnicode8 = 0x8D, BinBytes8 = 0x8E, EmptySet = 0x8F, AddItems = 0x90,
    FrozenSet = 0x91, NewObjectWithKeywords = 0x92, StackGlobal = 0x93, Memoize = 0x94, Frame = 0x95, ByteArray8 = 0x96,
}
