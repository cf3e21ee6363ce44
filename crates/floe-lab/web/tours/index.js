// The tours, in the order of the menu (README.md).

export const TOURS = [];
