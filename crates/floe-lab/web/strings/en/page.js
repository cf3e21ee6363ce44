// The strings of the page itself.

export default {};
