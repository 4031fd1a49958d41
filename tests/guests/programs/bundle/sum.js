export const total = (prices) => Object.values(prices).reduce((sum, price) => sum + price, 0);
export const unused = () => "left out of the bundle";
