//! Pages as bbolt writes them, for tests.

/// The size of these pages.
pub(crate) const PAGE_SIZE: usize = 1024;

/// A leaf page.
pub(crate) fn leaf_page(id: u64, elements: &[(&[u8], &[u8])]) -> Vec<u8> {
    let element = |pos: u32, (key, value): &(&[u8], &[u8])| {
        [0, pos, key.len() as u32, value.len() as u32].map(u32::to_le_bytes).concat()
    };
    let data: Vec<Vec<u8>> = elements.iter().map(|(key, value)| [*key, *value].concat()).collect();
    page(id, 2, elements, &data, element)
}

/// A branch page: the least key of each child, and its page.
pub(crate) fn branch_page(id: u64, children: &[(&[u8], u64)]) -> Vec<u8> {
    let element = |pos: u32, (key, child): &(&[u8], u64)| {
        [&pos.to_le_bytes()[..], &(key.len() as u32).to_le_bytes(), &child.to_le_bytes()].concat()
    };
    let data: Vec<Vec<u8>> = children.iter().map(|(key, _)| key.to_vec()).collect();
    page(id, 1, children, &data, element)
}

fn page<E>(id: u64, flags: u16, elements: &[E], data: &[Vec<u8>], header: impl Fn(u32, &E) -> Vec<u8>) -> Vec<u8> {
    let mut page =
        [&id.to_le_bytes()[..], &flags.to_le_bytes(), &(elements.len() as u16).to_le_bytes(), &[0; 4]].concat();
    let mut pos = 16 * elements.len();
    for (element, data) in elements.iter().zip(data) {
        page.extend(header(pos as u32, element));
        pos = pos - 16 + data.len();
    }
    page.extend(data.concat());
    assert!(page.len() <= PAGE_SIZE, "the elements fit on one page");
    page.resize(PAGE_SIZE, 0);
    page
}
